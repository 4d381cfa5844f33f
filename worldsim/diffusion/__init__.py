"""Diffusion in one convention: tau = 0 is noise, tau = 1 is data.

    z_tau = tau * z_1 + (1 - tau) * z_0,   z_0 ~ N(0, I)

`schedule` draws levels and step sizes, `parametrize` goes between clean, noise and velocity, `loss` is the
shortcut-forcing objective and `sample` walks from noise to data. The network always predicts z_1.
"""
