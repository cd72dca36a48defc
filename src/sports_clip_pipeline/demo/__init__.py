"""A page that answers for one photograph at a time, from a finished study. Needs gradio."""
