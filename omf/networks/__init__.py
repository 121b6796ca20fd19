"""The networks: base network, U-Net, packed U-Net, LocalNAFNet, Demosaic Net, fused execution."""
