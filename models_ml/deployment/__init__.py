"""What is deployed, what challenged it, and how it can be taken back: the training stage's results kept and guarded."""
