"""The zoo: one file per GAN or idea, each a plugin of ganzoo."""
