output "mount_path" {
  description = "auth.mount_path of the agent."
  value       = "auth/${vault_auth_backend.aws.path}"
}

output "accessor" {
  description = "The mount's accessor, for identity aliases and templated policies."
  value       = vault_auth_backend.aws.accessor
}

output "roles" {
  description = "Names of the roles, for auth.role of the agent."
  value       = concat(keys(vault_aws_auth_backend_role.iam), keys(vault_aws_auth_backend_role.ec2))
}
