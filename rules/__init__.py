"""Rules: YAML and CEL in, typed rules and decisions out. Logic only, no input or output."""
