"""The networks: base network, U-Net, LocalNAFNet, Demosaic Net, fused execution."""
