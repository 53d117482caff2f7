"""Networks: backbones, heads, batch norm, encoders."""
