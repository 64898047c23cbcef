"""What pods and this machine use: read from control groups, told as metrics. No engine is asked."""
