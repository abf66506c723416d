variable "path" {
  description = "Where the auth method is mounted, without \"auth/\"."
  type        = string
  default     = "aws"
}

variable "iam_server_id_header_value" {
  description = "What a login must bear as X-Vault-AWS-IAM-Server-ID, usually Vault's name. A login recorded elsewhere is then worth nothing here. Null: not asked for."
  type        = string
  default     = null
}

variable "sts_region" {
  description = "Region whose STS Vault asks who signed a login; agents must sign for the same one (auth.region). Null: the region that each login was signed for, which takes Vault 1.15 or newer."
  type        = string
  default     = null
}

variable "dns_suffix" {
  description = "End of the names of AWS's endpoints in this partition."
  type        = string
  default     = "amazonaws.com"
}

variable "account_roles" {
  description = "Roles that Vault assumes to look into other accounts, by account number."
  type        = map(string)
  default     = {}
}

variable "policies" {
  description = "Vault policies to write, by name, as HCL."
  type        = map(string)
  default     = {}
}

variable "iam_roles" {
  description = "Roles for iam logins, by name. ttl, max_ttl and period are in seconds. resolve_unique_ids binds to the unique id behind an ARN, for which Vault needs iam:GetRole and iam:GetUser; an ARN with a wildcard at its end takes false."
  type = map(object({
    bound_principal_arns = list(string)
    policies             = list(string)
    resolve_unique_ids   = optional(bool, true)
    ttl                  = optional(number, 3600)
    max_ttl              = optional(number, 86400)
    period               = optional(number, 0)
    bound_cidrs          = optional(list(string), [])
  }))
  default = {}

  validation {
    condition     = alltrue([for role in var.iam_roles : length(role.bound_principal_arns) > 0])
    error_message = "Each iam role needs at least one principal in bound_principal_arns."
  }

  validation {
    condition     = alltrue([for role in var.iam_roles : !role.resolve_unique_ids || !anytrue([for arn in role.bound_principal_arns : endswith(arn, "*")])])
    error_message = "An ARN that ends in a wildcard has no unique id: set resolve_unique_ids = false."
  }
}

variable "ec2_roles" {
  description = "Roles for ec2 logins, by name. All that is given must match. ttl, max_ttl and period are in seconds."
  type = map(object({
    policies                    = list(string)
    bound_account_ids           = optional(list(string), [])
    bound_ami_ids               = optional(list(string), [])
    bound_regions               = optional(list(string), [])
    bound_vpc_ids               = optional(list(string), [])
    bound_subnet_ids            = optional(list(string), [])
    bound_instance_profile_arns = optional(list(string), [])
    bound_role_arns             = optional(list(string), [])
    bound_instance_ids          = optional(list(string), [])
    allow_migration             = optional(bool, false)
    ttl                         = optional(number, 3600)
    max_ttl                     = optional(number, 86400)
    period                      = optional(number, 0)
    bound_cidrs                 = optional(list(string), [])
  }))
  default = {}

  validation {
    condition = alltrue([for role in var.ec2_roles : length(concat(
      role.bound_account_ids, role.bound_ami_ids, role.bound_regions, role.bound_vpc_ids, role.bound_subnet_ids,
      role.bound_instance_profile_arns, role.bound_role_arns, role.bound_instance_ids
    )) > 0])
    error_message = "Each ec2 role must be bound to something: an account, an AMI, a region, a VPC, a subnet, a profile, a role or an instance."
  }
}
