"""What is proven of a version, and measured, before it is published."""
