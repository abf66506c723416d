// ServiceHealth
