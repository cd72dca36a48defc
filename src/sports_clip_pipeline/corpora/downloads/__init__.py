"""Getting the published corpora: transfers that go on where they broke, mirrors, Kaggle."""
