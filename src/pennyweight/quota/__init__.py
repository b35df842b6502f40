"""How much may be used: requests and tokens per minute, budgets of money; by key and by project."""
