# AWS's side of an aws login: the role whose identity the agent proves, and what Vault itself must be allowed to ask AWS.
# The role needs no permissions for the agent: GetCallerIdentity is allowed to everybody.

data "aws_partition" "current" {}

data "aws_iam_policy_document" "trust" {
  dynamic "statement" {
    for_each = contains(var.runs_on, "ec2") ? ["ec2.${data.aws_partition.current.dns_suffix}"] : []

    content {
      actions = ["sts:AssumeRole"]

      principals {
        type        = "Service"
        identifiers = [statement.value]
      }
    }
  }

  dynamic "statement" {
    for_each = contains(var.runs_on, "ecs") ? ["ecs-tasks.amazonaws.com"] : []

    content {
      actions = ["sts:AssumeRole"]

      principals {
        type        = "Service"
        identifiers = [statement.value]
      }
    }
  }

  # EKS Pod Identity tags the session with cluster, namespace and service account.
  dynamic "statement" {
    for_each = contains(var.runs_on, "eks-pod-identity") ? ["pods.eks.amazonaws.com"] : []

    content {
      actions = ["sts:AssumeRole", "sts:TagSession"]

      principals {
        type        = "Service"
        identifiers = [statement.value]
      }
    }
  }

  dynamic "statement" {
    for_each = var.irsa == null ? [] : [var.irsa]

    content {
      actions = ["sts:AssumeRoleWithWebIdentity"]

      principals {
        type        = "Federated"
        identifiers = [statement.value.provider_arn]
      }

      condition {
        test     = "StringEquals"
        variable = "${statement.value.issuer}:sub"
        values   = ["system:serviceaccount:${statement.value.namespace}:${statement.value.service_account}"]
      }

      condition {
        test     = "StringEquals"
        variable = "${statement.value.issuer}:aud"
        values   = ["sts.amazonaws.com"]
      }
    }
  }
}

resource "aws_iam_role" "agent" {
  name                 = var.name
  description          = "Identity of vault-token-agent, proven to Vault"
  assume_role_policy   = data.aws_iam_policy_document.trust.json
  permissions_boundary = var.permissions_boundary
  tags                 = var.tags

  lifecycle {
    precondition {
      condition     = length(var.runs_on) > 0 || var.irsa != null
      error_message = "Say where the agent runs: runs_on, or irsa."
    }
  }
}

resource "aws_iam_instance_profile" "agent" {
  count = contains(var.runs_on, "ec2") ? 1 : 0

  name = var.name
  role = aws_iam_role.agent.name
  tags = var.tags
}

# For the identity that Vault's servers have.
data "aws_iam_policy_document" "vault" {
  # GetCallerIdentity needs no permission by default; it is named for organisations that deny what is not.
  statement {
    sid       = "WhoSignedALogin"
    actions   = ["sts:GetCallerIdentity"]
    resources = ["*"]
  }

  # GetUser and GetRole turn an ARN into the unique id that a role of Vault's is bound to, when it is written and at logins;
  # the others are for ec2 logins and their renewals.
  statement {
    sid       = "WhoIsBehindIt"
    actions   = ["ec2:DescribeInstances", "iam:GetInstanceProfile", "iam:GetUser", "iam:GetRole"]
    resources = ["*"]
  }

  dynamic "statement" {
    for_each = length(var.account_roles) > 0 ? [var.account_roles] : []

    content {
      sid       = "TheSameInOtherAccounts"
      actions   = ["sts:AssumeRole"]
      resources = statement.value
    }
  }

  # For a Vault that has an access key instead of a role: `vault write auth/aws/config/rotate-root`.
  dynamic "statement" {
    for_each = var.vault_has_access_key ? [data.aws_partition.current.partition] : []

    content {
      sid = "ManageOwnAccessKeys"
      actions = [
        "iam:CreateAccessKey",
        "iam:DeleteAccessKey",
        "iam:GetAccessKeyLastUsed",
        "iam:GetUser",
        "iam:ListAccessKeys",
        "iam:UpdateAccessKey",
      ]
      resources = ["arn:${statement.value}:iam::*:user/$${aws:username}"]
    }
  }
}

resource "aws_iam_policy" "vault" {
  count = var.vault_policy_name == null ? 0 : 1

  name        = var.vault_policy_name
  description = "What Vault's aws auth method asks AWS"
  policy      = data.aws_iam_policy_document.vault.json
  tags        = var.tags
}
