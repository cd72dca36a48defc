"""Contrastive training through the towers themselves, once the projections are learned."""
