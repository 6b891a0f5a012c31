"""Reports: self-contained HTML pages about a training, a plan, a what-if and the monitoring of a run."""
