"use strict";
(async () => {
  const text = (id) => document.getElementById(id).textContent;
  const packed = Uint8Array.from(atob(text("bundle")), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const source = new Blob([await new Response(stream).text()], { type: "text/javascript" });
  const script = document.createElement("script");
  script.src = URL.createObjectURL(source);
  script.onload = () => {
    const { data, layout } = JSON.parse(text("figure"));
    Plotly.newPlot("plot", data, layout, { responsive: true, displaylogo: false });
  };
  document.head.append(script);
})();
