"""From a log density to draws: NUTS, corrected Laplace, adaptive importance sampling."""
