"""What is measured on: photographs, drawn pictures, synthetic caches, small backbones."""
