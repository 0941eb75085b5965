"""Measurements that anyone can repeat; every figure is a ratio of runs made side by side."""
