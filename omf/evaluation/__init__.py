"""Scores: PSNR and SSIM against ground truth, consistency with the photo, registration."""
