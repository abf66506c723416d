# An instance on which the agent runs as a unit: cloud-init fetches the package, checks it, writes the configuration and
# starts the service.

resource "aws_instance" "agent" {
  ami                    = var.ami
  instance_type          = var.instance_type
  subnet_id              = var.subnet_id
  vpc_security_group_ids = var.security_group_ids
  iam_instance_profile   = var.instance_profile_name
  tags                   = merge({ Name = "vault-token-agent" }, var.tags)

  # IMDSv2 only. A hop more lets containers on the instance reach it, and with it the instance's identity.
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = var.metadata_hop_limit
  }

  root_block_device {
    encrypted = true
  }

  user_data = templatefile("${path.module}/user-data.sh.tftpl", {
    package_url    = var.package_url
    package_sha256 = var.package_sha256
    configuration  = base64encode(jsonencode(var.configuration))
    vault_ca       = var.vault_ca_pem == null ? "" : base64encode(var.vault_ca_pem)
    readers        = join(" ", var.reader_users)
  })
  # cloud-init runs it once in an instance's life.
  user_data_replace_on_change = true
}
