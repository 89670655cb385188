"""What a shell or a notebook starts: orders or a finished run in, a folder or a table out."""
