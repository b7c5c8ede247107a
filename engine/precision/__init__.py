"""fp32 or int8: made, measured, chosen, kept."""
