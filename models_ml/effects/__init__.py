"""What offers do to churn and who accepts them, learned from randomised contacts alone."""
