"""What makes an item, or a suite, suspicious: found by looking, never mended or dropped in silence."""
