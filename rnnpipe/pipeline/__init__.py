"""What ``dvc.yaml`` says that a stage reads and writes, held against what lies there."""
