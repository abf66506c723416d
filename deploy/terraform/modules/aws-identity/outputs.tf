output "role_arn" {
  description = "For bound_principal_arns of Vault's role, taskRoleArn of an ECS task, or the annotation of a service account."
  value       = aws_iam_role.agent.arn
}

output "role_name" {
  description = "Name of the role, to attach what the application needs."
  value       = aws_iam_role.agent.name
}

output "instance_profile_name" {
  description = "For aws_instance. Null where the role is not for EC2."
  value       = one(aws_iam_instance_profile.agent[*].name)
}

output "instance_profile_arn" {
  description = "For bound_instance_profile_arns of an ec2 role. Null where the role is not for EC2."
  value       = one(aws_iam_instance_profile.agent[*].arn)
}

output "vault_policy_arn" {
  description = "IAM policy to attach to Vault's own identity. Null unless vault_policy_name is set."
  value       = one(aws_iam_policy.vault[*].arn)
}
