"""Tasks bring data, model, objective and metric together; each is one file."""
