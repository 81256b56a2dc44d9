"""The only place that knows everybody: wires, runs, supervises."""
