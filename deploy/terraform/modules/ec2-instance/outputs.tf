output "instance_id" {
  description = "For bound_instance_ids of an ec2 role, and for the access list of ec2 logins."
  value       = aws_instance.agent.id
}
