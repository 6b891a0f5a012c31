"""Pages that a person reads: self-contained HTML, drawn from what the run computed."""
