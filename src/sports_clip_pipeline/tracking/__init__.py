"""MLflow tracking: one parent run per `kedro run`, one child run per trial."""
