// TokenSinks
