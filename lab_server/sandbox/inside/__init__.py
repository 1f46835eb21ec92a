"""What runs inside a box, with the standard library alone; every image carries it as `safeconduct_inside`."""
