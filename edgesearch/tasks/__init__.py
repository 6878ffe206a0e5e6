"""Named, versioned sets of samples with their graders, one task a file."""
