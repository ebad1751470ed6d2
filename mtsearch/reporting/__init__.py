"""Tables, plots, the report page, the terminal and the reference pages of a run."""
