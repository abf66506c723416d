# Vault's side of an aws login: the mount, how it reaches AWS, its roles, and the policies that they give.

resource "vault_auth_backend" "aws" {
  type        = "aws"
  path        = var.path
  description = "AWS identities, for vault-token-agent"
}

resource "vault_aws_auth_backend_client" "aws" {
  backend                    = vault_auth_backend.aws.path
  iam_server_id_header_value = var.iam_server_id_header_value

  # Either the region that the login was signed for, or one region for all.
  use_sts_region_from_client = var.sts_region == null
  sts_region                 = var.sts_region
  sts_endpoint               = var.sts_region == null ? null : "https://sts.${var.sts_region}.${var.dns_suffix}"

  lifecycle {
    # `vault write auth/aws/config/rotate-root` and keys that were put there by hand are not undone.
    ignore_changes = [access_key, secret_key]
  }
}

# How Vault looks up instances and roles of other accounts.
resource "vault_aws_auth_backend_sts_role" "account" {
  for_each = var.account_roles

  backend    = vault_auth_backend.aws.path
  account_id = each.key
  sts_role   = each.value
}

resource "vault_policy" "policy" {
  for_each = var.policies

  name   = each.key
  policy = each.value
}

resource "vault_aws_auth_backend_role" "iam" {
  for_each = var.iam_roles

  backend                  = vault_auth_backend.aws.path
  role                     = each.key
  auth_type                = "iam"
  bound_iam_principal_arns = each.value.bound_principal_arns
  resolve_aws_unique_ids   = each.value.resolve_unique_ids
  token_policies           = each.value.policies
  token_ttl                = each.value.ttl
  token_max_ttl            = each.value.max_ttl
  token_period             = each.value.period
  token_bound_cidrs        = each.value.bound_cidrs

  depends_on = [vault_aws_auth_backend_client.aws]
}

resource "vault_aws_auth_backend_role" "ec2" {
  for_each = var.ec2_roles

  backend                         = vault_auth_backend.aws.path
  role                            = each.key
  auth_type                       = "ec2"
  bound_account_ids               = each.value.bound_account_ids
  bound_ami_ids                   = each.value.bound_ami_ids
  bound_regions                   = each.value.bound_regions
  bound_vpc_ids                   = each.value.bound_vpc_ids
  bound_subnet_ids                = each.value.bound_subnet_ids
  bound_iam_instance_profile_arns = each.value.bound_instance_profile_arns
  bound_iam_role_arns             = each.value.bound_role_arns
  bound_ec2_instance_ids          = each.value.bound_instance_ids
  # The agent keeps its nonce in the state directory. An instance whose disk is replaced needs this, or the access list cleared.
  allow_instance_migration = each.value.allow_migration
  token_policies           = each.value.policies
  token_ttl                = each.value.ttl
  token_max_ttl            = each.value.max_ttl
  token_period             = each.value.period
  token_bound_cidrs        = each.value.bound_cidrs

  depends_on = [vault_aws_auth_backend_client.aws]
}
