variable "ami" {
  description = "AMI with systemd 252 or newer and cloud-init: Debian 12, Ubuntu 24.04, Amazon Linux 2023."
  type        = string
}

variable "instance_type" {
  description = "Type of the instance; its architecture must be the package's."
  type        = string
  default     = "t3.micro"
}

variable "subnet_id" {
  description = "Subnet from which Vault, STS and the package can be reached."
  type        = string
}

variable "security_group_ids" {
  description = "Security groups; outgoing connections to Vault, STS and the package must be allowed."
  type        = list(string)
  default     = null
}

variable "instance_profile_name" {
  description = "Instance profile of the role that Vault knows: instance_profile_name of the module aws-identity."
  type        = string
}

variable "metadata_hop_limit" {
  description = "Hops that an answer of the metadata service may take: 1 for the instance itself, 2 for containers on it."
  type        = number
  default     = 1
}

variable "package_url" {
  description = "https URL of the agent's package, .deb or .rpm."
  type        = string

  validation {
    condition     = can(regex("^https://[^' ]+\\.(deb|rpm)$", var.package_url))
    error_message = "package_url is an https URL that ends in .deb or .rpm."
  }
}

variable "package_sha256" {
  description = "SHA-256 of the package, in hexadecimal."
  type        = string

  validation {
    condition     = can(regex("^[0-9a-f]{64}$", var.package_sha256))
    error_message = "package_sha256 is 64 hexadecimal digits."
  }
}

variable "configuration" {
  description = "The agent's configuration: the object that docs/configuration.md describes. Without secrets: user data can be read by all who may describe the instance, and by all on it."
  type        = any
}

variable "vault_ca_pem" {
  description = "Certificate of the CA that signed Vault's, in PEM; in the configuration it is /etc/vault-token-agent/vault-ca.pem. Null: the system's certificates."
  type        = string
  default     = null
}

variable "reader_users" {
  description = "Users of the image that may read the token, such as \"admin\"."
  type        = list(string)
  default     = []
}

variable "tags" {
  description = "Tags of the instance."
  type        = map(string)
  default     = {}
}
