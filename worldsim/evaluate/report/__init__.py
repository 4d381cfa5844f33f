"""What people see of an evaluation: pages of pictures, curves and numbers."""
