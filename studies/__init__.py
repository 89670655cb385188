"""One script per question: each states its pass rule before it runs and writes one figure of its own name."""
