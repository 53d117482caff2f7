"""Common corruptions of ImageNet-C, Tiny-ImageNet-C and CIFAR-C, a family a file, each with its constants."""
