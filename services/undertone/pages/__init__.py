"""What pages share: wording, the geometry of charts, templates, and the look."""
