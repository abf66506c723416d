// TokenLifecycle
