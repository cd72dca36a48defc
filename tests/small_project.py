"""A Kedro project of two pipelines with our hooks, small enough to run many times."""

import os
import subprocess
import sys
import textwrap

from sports_clip_pipeline.tracking.store import TrackingConfig, open_store

FILES = {
    "pyproject.toml": """
        [tool.kedro]
        package_name = "small_project"
        project_name = "small"
        kedro_init_version = "1.7.0"
        source_dir = "src"
        """,
    ".telemetry": "consent: false\n",
    "conf/local/.gitkeep": "",
    "conf/base/globals.yml": "study: sample\n",
    "conf/base/parameters_tracking.yml": "tracking: {experiment: test, study: sample}\n",
    "conf/base/parameters.yml": "finetune: {seeds: [0, 1], fail: false, wait: false}\n",
    "conf/base/catalog.yml": """
        finetune_state:
          type: sports_clip_pipeline.io.RunStateDataset
          filepath: data/state
        ingest_audit:
          type: sports_clip_pipeline.io.JsonDocument
          filepath: data/audit.json
          metadata: {mlflow: {tags: {data_digest: data_digest}}}
        curves:
          type: sports_clip_pipeline.io.CsvTable
          filepath: data/curves.csv
          save_args: {index: false}
          metadata: {mlflow: {artifact: tables, history: finetune}}
        trials:
          type: sports_clip_pipeline.io.CsvTable
          filepath: data/trials.csv
          save_args: {index: false}
          metadata: {mlflow: {artifact: tables, trials: frozen}}
        zero_shot_metrics:
          type: sports_clip_pipeline.io.JsonDocument
          filepath: data/metrics.json
          metadata: {mlflow: {artifact: tables, metrics: {test/zero_shot_top1: zero_shot.top1}}}
        """,
    "src/small_project/__init__.py": "",
    "src/small_project/cli.py": "from sports_clip_pipeline.cli import cli, run\n",
    "src/small_project/settings.py": """
        from sports_clip_pipeline.hooks import CheckHooks
        from sports_clip_pipeline.tracking.hook import TrackingHooks
        HOOKS = (CheckHooks(), TrackingHooks())
        CONFIG_LOADER_ARGS = {"base_env": "base", "default_run_env": "local"}
        """,
    "src/small_project/pipeline_registry.py": """
        import time
        from pathlib import Path
        from pydantic import BaseModel
        from kedro.pipeline import Pipeline, node

        class Finetune(BaseModel):
            seeds: list
            fail: bool
            wait: bool

        def ingest():
            return {"data_digest": "abc"}

        def finetune(audit: object, finetune: Finetune, state: object):
            import pandas as pd
            history, rows = [], []
            def epoch(number, loss):
                history.append({"epoch": number, "loss": loss, "stage": "locked"})
                state.log_metrics({"finetune/loss": loss}, number)
            def trial(seed):
                rows.append({"method": "ridge", "fraction": 0.1, "seed": seed, "labels": 63,
                             "top1": 0.5 + seed / 100, "macro_f1": 0.5, "cv_top1": 0.4,
                             "cv_log_loss": 1.5, "elapsed_s": 0.1, "reused": False,
                             "hyperparameters": '{"alpha": 0.5}'})
                state.log_trial(rows[-1], "frozen")
            for step in range(3):
                epoch(step, 1.0 - step / 4)
            for seed in finetune.seeds:
                trial(seed)
            if finetune.fail:
                raise ValueError("the images ran out")
            if finetune.wait:
                print("waiting", flush=True)
                for _ in range(600):
                    if Path("go").exists():
                        break
                    time.sleep(0.1)
            for step in range(3, 100):
                epoch(step, 1.0 / step)
            trial(9)
            return pd.DataFrame(history), pd.DataFrame(rows), {"zero_shot": {"top1": 0.25}}

        def register_pipelines():
            stages = {
                "ingest": Pipeline([node(ingest, None, "ingest_audit", name="ingest")]),
                "finetune": Pipeline([node(
                    finetune,
                    ["ingest_audit", "params:finetune", "finetune_state"],
                    ["curves", "trials", "zero_shot_metrics"],
                    name="finetune",
                )]),
            }
            return {**stages, "__default__": stages["ingest"] + stages["finetune"]}
        """,
}


def make_project(folder):
    """Write the project to a folder."""
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip())
    return folder


def start_kedro(folder, *arguments, flags=(), **environment):
    """Start `kedro` in its own process."""
    return subprocess.Popen(
        [sys.executable, *flags, "-m", "kedro", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ
        | {"DO_NOT_TRACK": "1", "COLUMNS": "400", "PYTHONUNBUFFERED": "1"}
        | environment,
    )


def run_kedro(folder, *arguments, flags=(), **environment):
    """Exit status, standard output and standard error of a `kedro` command."""
    process = start_kedro(folder, *arguments, flags=flags, **environment)
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def records_in(folder, uri="sqlite:///mlruns/mlflow.db"):
    """A client of the project's store, and its runs by name."""
    client, experiment = open_store(TrackingConfig(experiment="test", uri=uri), folder)
    return client, {run.info.run_name: run for run in client.search_runs([experiment])}


def wait_for(process, text):
    """Read what the process prints until `text` comes."""
    for line in process.stdout:
        if text in line:
            return
    raise AssertionError(process.stderr.read())
