"""MLflow tracking: one parent run a `kedro run`, one child run an arm.

Nothing here imports MLflow before a run starts; `hooks.TrackingHooks` is the only caller.
"""
