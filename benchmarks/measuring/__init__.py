"""How a benchmark measures: processes, legs, options, the machine and its limit, records."""
