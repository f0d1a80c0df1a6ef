"""How many ice creams are sold on a day."""
