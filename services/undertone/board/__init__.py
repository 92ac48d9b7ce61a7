"""The board: a page of the trends and alerts topics."""
