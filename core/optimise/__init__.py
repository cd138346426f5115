"""Weights by theory: expected returns, optimal portfolios, simple weighting rules. What a portfolio is compared with, not advice."""
