# The three modules together: one instance whose role may log in to Vault.
#   terraform init && terraform apply
# AWS's and Vault's credentials come from the environment, as usual: AWS_PROFILE, VAULT_ADDR, VAULT_TOKEN.

terraform {
  required_version = ">= 1.5"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
    vault = {
      source  = "hashicorp/vault"
      version = ">= 4.0"
    }
  }
}

variable "vault_address" {
  description = "Vault's URL, as the instance reaches it."
  type        = string
}

variable "subnet_id" {
  description = "Subnet of the instance."
  type        = string
}

variable "ami" {
  description = "AMI of the instance."
  type        = string
}

variable "package_url" {
  description = "https URL of the agent's package."
  type        = string
}

variable "package_sha256" {
  description = "SHA-256 of the package."
  type        = string
}

locals {
  # Any text that only this Vault is called by.
  server_id = "vault.example.com"
}

module "identity" {
  source = "../modules/aws-identity"

  name    = "app"
  runs_on = ["ec2"]
  # Attach this policy to the identity of Vault's servers.
  vault_policy_name = "vault-aws-auth"
}

module "vault" {
  source = "../modules/vault-auth"

  iam_server_id_header_value = local.server_id

  policies = {
    app = <<-EOT
      path "secret/data/app/*" {
        capabilities = ["read"]
      }
    EOT
  }

  iam_roles = {
    app = {
      bound_principal_arns = [module.identity.role_arn]
      policies             = ["app"]
    }
  }
}

module "instance" {
  source = "../modules/ec2-instance"

  ami                   = var.ami
  subnet_id             = var.subnet_id
  instance_profile_name = module.identity.instance_profile_name
  package_url           = var.package_url
  package_sha256        = var.package_sha256

  configuration = {
    vault = { address = var.vault_address }
    tokens = [{
      name = "app"
      auth = {
        type         = "iam"
        mount_path   = module.vault.mount_path
        role         = "app"
        header_value = local.server_id
      }
      sinks = [{ type = "file", path = "/run/vault-token-agent/token", group = "vault-token-readers" }]
    }]
  }

  # The first login then finds the role there.
  depends_on = [module.vault]
}

output "vault_policy_arn" {
  description = "To be attached to the identity of Vault's servers."
  value       = module.identity.vault_policy_arn
}
