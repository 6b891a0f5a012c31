"""The service: one customer's decision now, from the pipeline, prices and rules of the last published run."""
