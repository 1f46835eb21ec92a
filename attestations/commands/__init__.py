"""Commands that need neither side's software: arguments in, one call, a few lines or a page out."""
